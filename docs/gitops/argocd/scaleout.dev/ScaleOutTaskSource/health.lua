-- Healthy while the tasks of its cluster can be listed, Degraded while that needs somebody's hand.
local hs = { status = "Progressing", message = "Waiting for the controller" }

local status = obj.status
if status == nil or status.conditions == nil then
  return hs
end
-- The conditions may speak of a spec that has changed since.
if status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local ready = conditions.Ready
if ready == nil then
  return hs
end
hs.message = ready.message

if conditions.Reconciling ~= nil and conditions.Reconciling.status == "True" then
  hs.status = "Progressing"
elseif conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  hs.status = "Degraded"
elseif ready.status == "True" then
  hs.status = "Healthy"
elseif ready.reason == "Suspended" then
  hs.status = "Suspended"
end
return hs
