-- The plan runs until the period's end, then lapses.
obj.spec.renewal = "None"
return obj
