-- A disabled action can still be called from the command line: what would buy a period is refused here as well.
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
