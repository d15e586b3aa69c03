/*
 * What all charts share: the tooltip, the cursor, drawing again when the width
 * changes, and the axes of those that go over time.
 */

import { $, el } from './dom.js';
import { DAY, HOUR, clock, dayMonth, number } from './format.js';

const d3 = window.d3;

export const TALL = 240;
export const MARGIN = { top: 12, right: 2, bottom: 26 };


/* the tooltip, one for the page */

export function tell(title, line, x, y) {
    const tip = $('tooltip');

    tip.replaceChildren(el('b', { textContent: title }), ...[line].flat());
    tip.hidden = false;

    const box = tip.getBoundingClientRect();
    const left = Math.min(x - box.width / 2,
        document.documentElement.clientWidth - box.width - 8);
    const above = y - box.height - 8;

    tip.style.left = `${Math.max(left, 8) + window.scrollX}px`;
    tip.style.top = `${(above < 8 ? y + 16 : above) + window.scrollY}px`;
}

function hush() {
    $('tooltip').hidden = true;
}


/*
 * What both charts share: drawing again when the width changes, and a
 * cursor that the pointer moves, or arrow keys, Home and End once the chart
 * has the focus.
 *
 * chart: { svg, length(), first() → index, at(event) → index,
 *          point(index, byKey), leave(), choose(index) or nothing }
 *
 * Returns what to call when the chart was drawn anew.
 */

export function cursor(chart) {
    const svg = chart.svg.node();
    let at = -1, shown = false;

    const go = (i, byKey) => {
        shown = chart.length() > 0;
        if (shown) {
            at = Math.max(0, Math.min(i, chart.length() - 1));
            chart.point(at, byKey);
        }
    };

    const leave = () => {
        shown = false;
        hush();
        chart.leave();
    };

    svg.addEventListener('pointermove', (event) => go(chart.at(event)));
    svg.addEventListener('pointerdown', (event) => go(chart.at(event)));
    svg.addEventListener('pointerleave', leave);
    svg.addEventListener('click', () => shown && chart.choose?.(at));
    svg.addEventListener('blur', leave);

    svg.addEventListener('focus', () => {
        if (svg.matches(':focus-visible')) {
            go(at < 0 ? chart.first() : at, true);
        }
    });

    svg.addEventListener('keydown', (event) => {
        const step = {
            ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1,
            PageDown: 24, PageUp: -24, Home: -Infinity, End: Infinity,
        }[event.key];

        if (event.key === 'Escape') {
            leave();
        } else if (event.key === 'Enter' && shown && chart.choose) {
            chart.choose(at);
        } else if (step !== undefined && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            go(at + step, true);
        }
    });

    return () => {
        if (shown) {
            go(at);
        }
    };
}

export function fitted(place, draw) {
    let width = 0;

    new ResizeObserver(([entry]) => {
        const now = Math.floor(entry.contentRect.width);
        if (now > 0 && now !== width) {
            width = now;
            draw(width);
        }
    }).observe(place);

    return () => {
        width = Math.floor(place.getBoundingClientRect().width) || width;
        if (width > 0) {
            draw(width);
        }
    };
}


/*
 * The axes of a chart over time, behind what it draws.  Returns a function
 * that lays them out for values from least to most, 0 among them, and instants
 * from one to another, and returns { x, y, left }.
 */

function timeTick(ms, step) {
    if (step < DAY && ms % DAY !== 0) {
        return clock(ms);
    }

    return new Date(ms).getUTCMonth() === 0 && new Date(ms).getUTCDate() === 1
        ? String(new Date(ms).getUTCFullYear()) : dayMonth(ms);
}

export function axes(svg) {
    const down = svg.append('g').attr('class', 'axis');
    const along = svg.append('g').attr('class', 'axis');

    const grid = (levels, y, left, width) => {
        const g = down.selectAll('g').data(levels).join((enter) => {
            const one = enter.append('g');
            one.append('line');
            one.append('text').attr('text-anchor', 'end').attr('dy', '0.32em');
            return one;
        });

        g.attr('transform', (level) => `translate(0, ${y(level)})`);
        g.select('line').attr('x1', left).attr('x2', width - MARGIN.right)
            .attr('class', (level) => (level === 0 ? 'base' : null));
        g.select('text').attr('x', left - 8).text(number);
    };

    const ticks = (x, y, step, left, width) => {
        const times = x.ticks(Math.max(2, Math.floor((width - left) / 96)))
            .map(Number)
            .filter((ms) => (step === HOUR || ms % DAY === 0)
                            && x(ms) < width - 20)
            .filter((ms, i, all) => i !== 1 || x(ms) >= left + 80
                                    || x(all[0]) >= left + 20);

        along.selectAll('line').data(times).join('line')
            .attr('class', 'base')
            .attr('x1', x).attr('x2', x)
            .attr('y1', y(0)).attr('y2', (ms) => y(0) + (ms % DAY ? 3 : 6));
        along.selectAll('text').data(times).join('text')
            .attr('x', (ms) => (x(ms) < left + 20 ? left : x(ms)))
            .attr('y', TALL - 6)
            .attr('text-anchor', (ms) =>
                (x(ms) < left + 20 ? 'start' : 'middle'))
            .text((ms) => timeTick(ms, step));
    };

    return ({ from, to, step, least = 0, most, width, whole }) => {
        const y = d3.scaleLinear([least, most],
            [TALL - MARGIN.bottom, MARGIN.top]).nice(4);
        const levels = y.ticks(4)
            .filter((level) => !whole || Number.isInteger(level));
        const left = 12 + 7.5 * Math.max(...levels.map(
            (level) => number(level).length));
        const x = d3.scaleUtc([from, to], [left, width - MARGIN.right]);

        svg.attr('viewBox', `0 0 ${width} ${TALL}`);
        grid(levels, y, left, width);
        ticks(x, y, step, left, width);

        return { x, y, left };
    };
}
