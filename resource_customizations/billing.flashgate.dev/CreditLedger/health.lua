-- A ledger without a status: nothing is asked for, so there is no observedGeneration, and nothing to wait for. In kstatus
-- format that is Current. Whether the ledger is right is said by the Subscription of its name.
local function verdict(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  if obj.metadata.finalizers ~= nil and #obj.metadata.finalizers > 0 then
    local finalizers = table.concat(obj.metadata.finalizers, ", ")
    return verdict("Progressing", "Pending deletion; blocked by finalizers: " .. finalizers)
  end
  return verdict("Progressing", "Pending deletion")
end

return verdict("Healthy", "Commit " .. obj.spec.sequence)
