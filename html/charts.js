/*
 * The two charts: ranked bars, and counts over time.  Both are drawn by D3,
 * fit the width of their place, and can be read by pointer or by arrow keys.
 */

import { $, el } from './dom.js';
import { HOUR, clock, count, dayMonth, hour, number, share, weekday }
    from './format.js';

const d3 = window.d3;

const ROW = 44;
const TALL = 240;

const still = window.matchMedia('(prefers-reduced-motion: reduce)');


/* the tooltip, one for the page */

function tell(title, line, x, y) {
    const tip = $('tooltip');

    tip.replaceChildren(el('b', { textContent: title }), line);
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

function cursor(chart) {
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

function fitted(place, draw) {
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

/* Shortens the text of an SVG element until it fits. */
function fit(node, text, room) {
    const known = node.fitted;

    if (known && known.text === text && known.room === room) {
        return;
    }

    node.fitted = { text, room };
    node.textContent = text;

    if (node.getComputedTextLength() <= room) {
        return;
    }

    const letters = Array.from(text);
    let low = 0, high = letters.length;

    while (low < high) {
        const middle = (low + high + 1) >> 1;
        node.textContent = `${letters.slice(0, middle).join('')}…`;
        if (node.getComputedTextLength() <= room) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }

    node.textContent = `${letters.slice(0, low).join('')}…`;
}


/*
 * Ranked bars, one { name, count } a row, the name and the figures above
 * its bar.  label names the chart; total is what a share is of; choose(name),
 * if given, is called for a click or Enter on a row.
 */

let charts = 0;

export function bars(place, label, choose) {
    const id = `bars-${++charts}`;
    const svg = d3.select(place).append('svg')
        .attr('class', 'bars').attr('role', 'listbox').attr('tabindex', 0)
        .classed('choice', Boolean(choose));

    let rows = [], total = 0;

    const draw = (width) => {
        const x = d3.scaleLinear([0, d3.max(rows, (row) => row.count) || 1],
            [0, width]);

        svg.attr('viewBox', `0 0 ${width} ${Math.max(rows.length * ROW, 1)}`)
            .attr('height', rows.length * ROW)
            .attr('aria-label', `${label}: ${number(rows.length)} bars`);

        svg.selectAll('g.row')
            .data(rows, (row) => row.name)
            .join(enter)
            .order()
            .attr('id', (row, i) => `${id}-${i}`)
            .attr('aria-label', (row) => `${row.name}: ${words(row)}`)
            .attr('transform', (row, i) => `translate(0, ${i * ROW})`)
            .each(function (row) {
                update(d3.select(this), row, width, x);
            });
    };

    const enter = (selection) => {
        const g = selection.append('g').attr('class', 'row')
            .attr('role', 'option');

        g.append('rect').attr('class', 'hit').attr('rx', 6);
        g.append('text').attr('class', 'name').attr('y', 18);
        g.append('text').attr('class', 'share').attr('y', 18);
        g.append('text').attr('class', 'count').attr('y', 18);
        g.append('rect').attr('class', 'track').attr('rx', 3);
        g.append('rect').attr('class', 'bar').attr('rx', 3).attr('width', 0);
        g.selectAll('.track, .bar').attr('y', 26).attr('height', 8);
        return g;
    };

    const update = (g, row, width, x) => {
        const part = share(row.count, total);

        g.select('.hit').attr('x', -8).attr('width', width + 16)
            .attr('height', ROW);
        g.select('.track').attr('width', width);
        g.select('.count').attr('x', width).text(number(row.count));
        g.select('.share').text(part)
            .attr('x', width - 8 - Math.max(56,
                g.select('.count').node().getComputedTextLength()));

        fit(g.select('.name').node(), row.name, width - 16
            - Math.max(56, g.select('.count').node().getComputedTextLength())
            - (part ? g.select('.share').node().getComputedTextLength() : 0));

        const bar = g.select('.bar');
        const end = Math.max(x(row.count), row.count > 0 ? 2 : 0);

        (still.matches || document.hidden ? bar.interrupt()
            : bar.transition().duration(250)).attr('width', end);
    };

    const words = (row) => [count(row.count, 'event'), share(row.count, total)]
        .filter(Boolean).join(', ');

    const leave = () => {
        svg.selectAll('.row').classed('at', false).attr('aria-selected', null);
        svg.attr('aria-activedescendant', null);
    };

    const again = cursor({
        svg,
        leave,
        length: () => rows.length,
        first: () => 0,
        at: (event) => Math.floor(d3.pointer(event, svg.node())[1] / ROW),
        choose: choose && ((i) => choose(rows[i].name)),
        point: (i, byKey) => {
            leave();
            const g = svg.select(`#${id}-${i}`).classed('at', true);
            const box = g.select('.hit').node().getBoundingClientRect();

            if (byKey) {
                g.attr('aria-selected', true);
                svg.attr('aria-activedescendant', `${id}-${i}`);
                g.node().scrollIntoView({ block: 'nearest' });
            }

            tell(rows[i].name, words(rows[i]), box.left + box.width / 2,
                g.select('.hit').node().getBoundingClientRect().top + 8);
        },
    });

    const redraw = fitted(place, draw);

    return (newRows, newTotal) => {
        rows = newRows;
        total = newTotal;
        redraw();
        again();
    };
}


/*
 * Counts over time: rows of { at, count } in steps of an hour or a day, in
 * order and without a hole.  The step that is not over yet is paler.
 */

const MARGIN = { top: 12, right: 2, bottom: 26 };

/* One path for any number of bars: a year of hours is drawn in no time. */
function outline(rows, x, y, step) {
    const wide = x(step) - x(0);
    const gap = wide > 8 ? 2 : wide > 3 ? 1 : 0;
    const width = Math.max(wide - gap, 1).toFixed(2);
    const parts = [];

    for (const row of rows) {
        if (row.count > 0) {
            const top = Math.min(y(row.count), y(0) - 1);
            parts.push(`M${x(row.at).toFixed(2)},${y(0)}V${top.toFixed(2)}`
                       + `h${width}V${y(0)}z`);
        }
    }

    return parts.join('') || null;
}

function timeTick(ms, step) {
    if (step === HOUR && ms % (24 * HOUR) !== 0) {
        return clock(ms);
    }

    return new Date(ms).getUTCMonth() === 0 && new Date(ms).getUTCDate() === 1
        ? String(new Date(ms).getUTCFullYear()) : dayMonth(ms);
}

export function timeline(place) {
    const svg = d3.select(place).append('svg')
        .attr('class', 'timeline').attr('role', 'slider').attr('tabindex', 0)
        .attr('aria-label', 'Events over time').attr('height', TALL);

    const down = svg.append('g').attr('class', 'axis');
    const along = svg.append('g').attr('class', 'axis');
    const area = svg.append('path').attr('class', 'bar');
    const open = svg.append('path').attr('class', 'open');
    const here = svg.append('rect').attr('class', 'cursor')
        .attr('display', 'none');

    let rows = [], step = HOUR, x, y;

    const name = (row) => (step === HOUR ? hour(row.at) : weekday(row.at));

    const draw = (width) => {
        if (!rows.length) {
            return;
        }

        const most = Math.max(d3.max(rows, (row) => row.count), 1);

        y = d3.scaleLinear([0, most], [TALL - MARGIN.bottom, MARGIN.top])
            .nice(4);
        const levels = y.ticks(4).filter(Number.isInteger);
        const left = 12 + 7.5 * Math.max(...levels.map(
            (level) => number(level).length));

        x = d3.scaleUtc([rows[0].at, rows[rows.length - 1].at + step],
            [left, width - MARGIN.right]);

        svg.attr('viewBox', `0 0 ${width} ${TALL}`)
            .attr('aria-valuemin', 1).attr('aria-valuemax', rows.length)
            .attr('aria-valuenow', rows.length)
            .attr('aria-valuetext', `${count(d3.sum(rows, (row) => row.count),
                'event')}; arrow keys read the single bars`);

        grid(levels, left, width);
        ticks(width, left);

        const now = Date.now();
        const isOpen = (row) => row.at <= now && now < row.at + step;

        area.attr('d', outline(rows.filter((row) => !isOpen(row)), x, y, step));
        open.attr('d', outline(rows.filter(isOpen), x, y, step));
    };

    const grid = (levels, left, width) => {
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

    const ticks = (width, left) => {
        const times = x.ticks(Math.max(2, Math.floor((width - left) / 96)))
            .map(Number)
            .filter((ms) => (step === HOUR || ms % (24 * HOUR) === 0)
                            && x(ms) < width - 20);

        along.selectAll('line').data(times).join('line')
            .attr('class', 'base')
            .attr('x1', x).attr('x2', x)
            .attr('y1', y(0)).attr('y2', (ms) => y(0)
                + (ms % (24 * HOUR) ? 3 : 6));
        along.selectAll('text').data(times).join('text')
            .attr('x', (ms) => (x(ms) < left + 20 ? left : x(ms)))
            .attr('y', TALL - 6)
            .attr('text-anchor', (ms) =>
                (x(ms) < left + 20 ? 'start' : 'middle'))
            .text((ms) => timeTick(ms, step));
    };

    const again = cursor({
        svg,
        length: () => rows.length,
        first: () => rows.length - 1,
        leave: () => here.attr('display', 'none'),
        at: (event) => Math.floor(
            (x.invert(d3.pointer(event, svg.node())[0]) - rows[0].at) / step),
        point: (i) => {
            const row = rows[i];
            const box = svg.node().getBoundingClientRect();

            here.attr('display', null)
                .attr('x', x(row.at)).attr('y', MARGIN.top)
                .attr('width', Math.max(x(row.at + step) - x(row.at), 2))
                .attr('height', TALL - MARGIN.top - MARGIN.bottom);
            svg.attr('aria-valuenow', i + 1)
                .attr('aria-valuetext', `${name(row)}: ${
                    count(row.count, 'event')}`);
            tell(name(row), count(row.count, 'event'),
                box.left + x(row.at + step / 2), box.top + MARGIN.top);
        },
    });

    const redraw = fitted(place, draw);

    return (newRows, newStep) => {
        rows = newRows;
        step = newStep;
        redraw();
        again();
    };
}

