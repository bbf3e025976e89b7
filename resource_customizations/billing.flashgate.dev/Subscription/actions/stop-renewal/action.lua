-- The plan stays in force until the end of the period, then it lapses.
obj.spec.renewal = "None"
return obj
