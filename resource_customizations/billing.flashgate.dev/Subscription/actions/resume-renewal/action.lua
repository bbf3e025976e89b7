-- The command line can call a disabled action, so this script also refuses a change that would buy a period.
local ends = false
if obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation then
  for _, condition in ipairs(obj.status.conditions or {}) do
    if condition.type == "Ready" and condition.reason == "NotRenewing" then
      ends = true
    end
  end
end
if not ends then
  error("The renewal can be resumed only while the plan runs and is not renewed; to buy a plan, change it in Git", 0)
end

obj.spec.renewal = "Automatic"
return obj
