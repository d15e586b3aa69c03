/*
 * The two charts of bars: ranked ones, and counts over time.  Both are drawn
 * by D3, fit the width of their place, and can be read by pointer or by arrow
 * keys.
 */

import { HOUR, count, hour, number, share, weekday } from './format.js';
import { MARGIN, TALL, axes, cursor, fitted, tell } from './plot.js';

const d3 = window.d3;

const ROW = 44;

const still = window.matchMedia('(prefers-reduced-motion: reduce)');


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

/*
 * label names the chart; words(row) says what a row is, events if it is not
 * given; whole: only integers stand at the axis.
 */
export function timeline(place, {
    label = 'Events over time', whole = true,
    words = (row) => count(row.count, 'event'),
    all = (some) => count(d3.sum(some, (row) => row.count), 'event'),
} = {}) {
    const svg = d3.select(place).append('svg')
        .attr('class', 'timeline').attr('role', 'slider').attr('tabindex', 0)
        .attr('aria-label', label).attr('height', TALL);

    const layout = axes(svg);
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

        ({ x, y } = layout({
            from: rows[0].at, to: rows[rows.length - 1].at + step, step, width,
            whole, most: d3.max(rows, (row) => row.count) || 1,
        }));

        svg.attr('aria-valuemin', 1).attr('aria-valuemax', rows.length)
            .attr('aria-valuenow', rows.length)
            .attr('aria-valuetext',
                `${all(rows)}; arrow keys read the single bars`);

        const now = Date.now();
        const isOpen = (row) => row.at <= now && now < row.at + step;

        area.attr('d', outline(rows.filter((row) => !isOpen(row)), x, y, step));
        open.attr('d', outline(rows.filter(isOpen), x, y, step));
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
                .attr('aria-valuetext', `${name(row)}: ${words(row)}`);
            tell(name(row), words(row),
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

