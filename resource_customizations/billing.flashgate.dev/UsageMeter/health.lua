-- The status is in kstatus format: observedGeneration, and the conditions Ready, Reconciling and Stalled.
local function verdict(status, message)
  return { status = status, message = message }
end

-- This check is before the check of the generation, because a deletion increments the generation.
if obj.metadata.deletionTimestamp ~= nil then
  if obj.metadata.finalizers ~= nil and #obj.metadata.finalizers > 0 then
    local finalizers = table.concat(obj.metadata.finalizers, ", ")
    return verdict("Progressing", "Pending deletion; blocked by finalizers: " .. finalizers)
  end
  return verdict("Progressing", "Pending deletion")
end

-- The API server gives a new object the observedGeneration -1.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return verdict("Progressing", "Waiting for the meter to see this generation")
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

if holds("Stalled") then
  return verdict("Degraded", conditions.Stalled.message)
end

if holds("Reconciling") then
  return verdict("Progressing", conditions.Reconciling.message)
end

if holds("Ready") then
  return verdict("Healthy", conditions.Ready.message)
end

return verdict("Progressing", "Waiting for the condition Ready")
