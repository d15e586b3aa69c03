-- Posts the bodies of a file, one a line, in turn; with milliseconds, each
-- connection waits so long between an answer and the next request:
--     wrk -s post.lua URL -- FILE [MILLISECONDS]
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

    local pause = tonumber(args[2])

    if pause then

        -- evenly about the mean, or the connections would fall into step

        function delay()
            return math.random(0, 2 * pause)
        end
    end
end


function request()
    at = at % #requests + 1

    return requests[at]
end


dofile(os.getenv("BENCH_WRK") .. "/report.lua")
