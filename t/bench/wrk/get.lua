-- Gets the URL again and again; with milliseconds, each connection waits so
-- long between an answer and the next request:
--     wrk -s get.lua URL -- [MILLISECONDS]
--
-- Copyright (C) The nginx analytics authors

function init(args)
    local pause = tonumber(args[1])

    if pause then

        -- evenly about the mean, or the connections would fall into step

        function delay()
            return math.random(0, 2 * pause)
        end
    end
end


dofile(os.getenv("BENCH_WRK") .. "/report.lua")
