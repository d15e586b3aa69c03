-- What one would write without the module: nginx, Lua, cjson and a shared
-- dictionary.  It checks the same of every event and counts the same, in
-- total, by type, by user and by hour, and it knows how many users there are.
-- To be fast, it sums up a list before it touches the dictionary.
--
-- Copyright (C) The nginx analytics authors

local cjson = require "cjson.safe"

local byte, floor, type, pairs = string.byte, math.floor, type, pairs
local stats = ngx.shared.stats

local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
local _M = {}


local function pair(a, b)
    a, b = a - 48, b - 48

    if a < 0 or a > 9 or b < 0 or b > 9 then
        return -1e9
    end

    return a * 10 + b
end


local function days_of(year, month)
    if month == 2 and year % 4 == 0
        and (year % 100 ~= 0 or year % 400 == 0)
    then
        return 29
    end

    return DAYS[month]
end


-- The hour since the epoch of an RFC 3339 time, or nil.

local function hour_of(text)
    if #text < 20 then
        return nil
    end

    local y1, y2, y3, y4, s1, m1, m2, s2, d1, d2, t, h1, h2, s3, i1, i2, s4,
        c1, c2 = byte(text, 1, 19)

    local year, month = pair(y1, y2) * 100 + pair(y3, y4), pair(m1, m2)
    local day, hour = pair(d1, d2), pair(h1, h2)
    local minute, second = pair(i1, i2), pair(c1, c2)

    if s1 ~= 45 or s2 ~= 45 or t ~= 84 or s3 ~= 58 or s4 ~= 58
        or year < 1970 or month < 1 or month > 12
        or day < 1 or day > days_of(year, month)
        or hour < 0 or hour > 23 or minute < 0 or minute > 59
        or second < 0 or second > 60
    then
        return nil
    end

    local at = 20

    if byte(text, at) == 46 then
        repeat
            at = at + 1
            local c = byte(text, at)
        until not c or c < 48 or c > 57
    end

    local zone = byte(text, at)

    if zone == 43 or zone == 45 then
        local z1, z2, s, z3, z4 = byte(text, at + 1, at + 5)

        if not z4 or s ~= 58 or #text ~= at + 5 then
            return nil
        end

        local shift = pair(z1, z2) * 60 + pair(z3, z4)

        if shift < 0 then
            return nil
        end

        minute = zone == 43 and minute - shift or minute + shift

    elseif zone ~= 90 or #text ~= at then
        return nil
    end

    if month <= 2 then
        year, month = year - 1, month + 12
    end

    local days = 365 * year + floor(year / 4) - floor(year / 100)
        + floor(year / 400) + floor((153 * (month - 3) + 2) / 5) + day - 719469

    return days * 24 + hour + floor(minute / 60)
end


local function is_name(value)
    return type(value) == "string" and #value >= 1 and #value <= 255
end


local function answer(status, value)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"

    local text = cjson.encode(value)
    ngx.header["Content-Length"] = #text
    ngx.print(text)
end


local function sum(events)
    local users, types, hours = {}, {}, {}
    local now

    for i = 1, #events do
        local event = events[i]

        if type(event) ~= "table" then
            return nil, i
        end

        local user, kind, time = event.user_id, event.event_type,
            event.timestamp
        local hour

        if time == nil then
            now = now or floor(ngx.time() / 3600)
            hour = now

        elseif type(time) == "string" then
            hour = hour_of(time)
        end

        if not hour or not is_name(user) or not is_name(kind) then
            return nil, i
        end

        users[user] = (users[user] or 0) + 1
        types[kind] = (types[kind] or 0) + 1
        hours[hour] = (hours[hour] or 0) + 1
    end

    return users, types, hours
end


function _M.collect()
    ngx.req.read_body()

    local body = ngx.req.get_body_data()
    local events = body and cjson.decode(body)

    if type(events) ~= "table" then
        return answer(400, { title = "Bad Request" })
    end

    local users, types, hours = sum(events)

    if not users then
        return answer(422, { title = "Unprocessable Content", index = types })
    end

    local unique = 0

    for user, n in pairs(users) do
        if stats:incr("u:" .. user, n, 0) == n then
            unique = unique + 1
        end
    end

    for kind, n in pairs(types) do
        stats:incr("t:" .. kind, n, 0)
    end

    for hour, n in pairs(hours) do
        stats:incr("h:" .. hour, n, 0)
    end

    if unique > 0 then
        stats:incr("users", unique, 0)
    end

    stats:incr("events", #events, 0)

    answer(201, { accepted = #events })
end


function _M.total()
    answer(200, {
        total_events = stats:get("events") or 0,
        unique_users = stats:get("users") or 0
    })
end


return _M
