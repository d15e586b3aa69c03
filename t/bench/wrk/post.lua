-- Posts the bodies of a file, one a line, in turn:
--     wrk -s post.lua URL -- FILE
--
-- Copyright (C) The nginx analytics authors

local requests, at = {}, 0


function init(args)
    local headers = { ["Content-Type"] = "application/json" }

    for body in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("POST", nil, headers, body)
    end

    -- slices do not all start with the same
    math.randomseed(tonumber(os.getenv("BENCH_SEED")))
    at = math.random(#requests)
end


function request()
    at = at % #requests + 1

    return requests[at]
end


dofile(os.getenv("BENCH_WRK") .. "/report.lua")
