-- A ledger has no status and no observedGeneration, so there is no pending state. kstatus reports it as Current. The
-- Subscription of the same name reports problems of the ledger.
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
