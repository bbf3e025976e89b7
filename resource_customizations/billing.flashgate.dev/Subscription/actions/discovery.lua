-- Both actions change the spec, so they last only until the next sync from Git. Make the same change in Git.
local actions = {}

actions["stop-renewal"] = {
  ["displayName"] = "Stop the renewal",
  ["iconClass"] = "fa fa-fw fa-stop",
  ["disabled"] = obj.spec.renewal == "None",
}

-- Only while the plan is in force. After its end, renewal Automatic is a purchase, which belongs in Git.
local ends = false
if obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation then
  for _, condition in ipairs(obj.status.conditions or {}) do
    if condition.type == "Ready" and condition.reason == "NotRenewing" then
      ends = true
    end
  end
end
actions["resume-renewal"] = {
  ["displayName"] = "Resume the renewal",
  ["iconClass"] = "fa fa-fw fa-redo",
  ["disabled"] = not ends,
}

return actions
