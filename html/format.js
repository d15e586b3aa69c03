/*
 * Numbers and times as people read them.  Times are UTC, as in the API,
 * unless they are called local: then they are in the reader's time zone.
 */

export const HOUR = 3600e3;
export const DAY = 24 * HOUR;

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat('en', {
    style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1,
});

export const number = (n) => grouped.format(n);

export function share(n, total) {
    if (!(total > 0)) {
        return '';
    }

    return n > 0 && n / total < 0.001 ? '< 0.1%' : percent.format(n / total);
}

export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? '' : 's'}`;

const utc = (options) => {
    const format = new Intl.DateTimeFormat('en-GB',
        { timeZone: 'UTC', ...options });
    return (ms) => format.format(ms);
};

export const day = utc({ day: 'numeric', month: 'short', year: 'numeric' });
export const weekday = utc({
    weekday: 'short', day: 'numeric', month: 'short', year: 'numeric',
});
export const clock = utc({ hour: '2-digit', minute: '2-digit' });
export const dayMonth = utc({ day: 'numeric', month: 'short' });
const moment = utc({
    day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit',
    minute: '2-digit', second: '2-digit',
});

export const time = (text) => {
    const ms = Date.parse(text);
    return Number.isNaN(ms) ? text : `${moment(ms)} UTC`;
};

const local = new Intl.DateTimeFormat('en-GB', {
    day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit',
    minute: '2-digit', second: '2-digit',
});
const localZone = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' });

export const timeZone = () => local.resolvedOptions().timeZone;

export function localTime(text) {
    const ms = Date.parse(text);
    return Number.isNaN(ms) ? text : local.format(ms);
}

/* With the fraction as the server wrote it, and with the zone. */
export function localTimeExact(text) {
    const ms = Date.parse(text);

    if (Number.isNaN(ms)) {
        return text;
    }

    const fraction = text.match(/\.\d+/)?.[0] ?? '';
    const zone = localZone.formatToParts(ms)
        .find((part) => part.type === 'timeZoneName').value;

    return `${local.format(ms)}${fraction} ${zone}`;
}

export const isoDay = (ms) => new Date(ms).toISOString().slice(0, 10);

export const hourOf = (ms) => `${clock(ms)}–${clock(ms + HOUR)} UTC`;

export const hour = (ms) => `${weekday(ms)}, ${hourOf(ms)}`;

export const hourOfDay = (h) => `${String(h).padStart(2, '0')}:00–`
    + `${String((h + 1) % 24).padStart(2, '0')}:00 UTC`;

/* Days from one to another, both included; what they share is said once. */
export function days(from, to) {
    if (isoDay(from) === isoDay(to)) {
        return day(from);
    }

    return new Date(from).getUTCFullYear() === new Date(to).getUTCFullYear()
        ? `${dayMonth(from)} – ${day(to)}` : `${day(from)} – ${day(to)}`;
}

export function bytes(n) {
    const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
    let i = 0;

    while (n >= 1024 && i < units.length - 1) {
        n /= 1024;
        i++;
    }

    return `${grouped.format(i && n >= 10 ? Math.round(n) : n)} ${units[i]}`;
}

export function uptime(seconds) {
    const steps = [[86400, 'day'], [3600, 'hour'], [60, 'minute']];

    for (const [length, noun] of steps) {
        if (seconds >= length) {
            return count(Math.floor(seconds / length), noun);
        }
    }

    return count(seconds, 'second');
}
