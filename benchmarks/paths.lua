-- wrk visits the paths given after `--` in turn.
local paths, at = {}, 0

function init(args)
  for _, path in ipairs(args) do paths[#paths + 1] = path end
  wrk.headers["Accept"] = "application/fhir+json"
end

function request()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
