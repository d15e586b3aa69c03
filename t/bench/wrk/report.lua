-- What wrk counted, as one line for the program that started it.
--
-- Copyright (C) The nginx analytics authors

function done(summary, latency)
    local errors = summary.errors

    print(string.format(
        "\nBENCH requests=%d us=%d bytes=%d refused=%d failed=%d "
            .. "p50=%.0f p99=%.0f max=%.0f",
        summary.requests, summary.duration, summary.bytes, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max
    ))
end
