/*
 * Lines over time, with bands around them: percentiles, forecasts.
 */

import { DAY, hour, number, weekday } from './format.js';
import { el } from './dom.js';
import { MARGIN, TALL, axes, cursor, fitted, tell } from './plot.js';

const d3 = window.d3;

/*
 * label names the chart, value(n) says what a value is.  Returns what draws:
 *
 *     lines  [{ name, kind, rows: [{ at, value }] }]; a value may be null
 *     bands  [{ name, kind, rows: [{ at, low, high }] }]
 *     step   of all rows, which are in order, in milliseconds
 */
export function lines(place, { label, value = number }) {
    const svg = d3.select(place).append('svg')
        .attr('class', 'lines').attr('role', 'slider').attr('tabindex', 0)
        .attr('aria-label', label).attr('height', TALL);

    const layout = axes(svg);
    const areas = svg.append('g');
    const strokes = svg.append('g');
    const here = svg.append('line').attr('class', 'cursor')
        .attr('display', 'none');

    let shown = { lines: [], bands: [], step: DAY }, instants = [], x, y;

    const all = () => [...shown.lines, ...shown.bands];
    const name = (at) => (shown.step < DAY ? hour(at) : weekday(at));

    const draw = (width) => {
        if (!instants.length) {
            return;
        }

        const [from, to] = [instants[0], instants[instants.length - 1]];
        const least = Math.min(0, d3.min(all(), (one) => d3.min(one.rows,
            (row) => row.low ?? row.value)) ?? 0);
        const most = Math.max(0, d3.max(all(), (one) => d3.max(one.rows,
            (row) => row.high ?? row.value)) ?? 0);

        ({ x, y } = layout({ from, to: Math.max(to, from + shown.step),
                             step: shown.step, width, whole: false, least,
                             most: most || (least ? 0 : 1) }));

        svg.attr('aria-valuemin', 1).attr('aria-valuemax', instants.length)
            .attr('aria-valuenow', instants.length)
            .attr('aria-valuetext', `${shown.lines.map((one) => one.name)
                .join(', ')}; arrow keys read the single points`);

        areas.selectAll('path').data(shown.bands).join('path')
            .attr('class', (band) => `band ${band.kind}`)
            .attr('d', (band) => d3.area((row) => x(row.at),
                (row) => y(row.low), (row) => y(row.high))(band.rows));

        strokes.selectAll('path').data(shown.lines).join('path')
            .attr('class', (line) => `line ${line.kind}`)
            .attr('d', (line) => d3.line((row) => x(row.at),
                (row) => y(row.value))
                .defined((row) => row.value !== null)(line.rows));
    };

    const words = (at) => all().flatMap((one) => {
        const row = one.rows.find((some) => some.at === at);

        if (!row || row.value === null) {
            return [];
        }

        return [`${one.name}: ${row.high === undefined ? value(row.value)
            : `${value(row.low)} to ${value(row.high)}`}`];
    });

    const again = cursor({
        svg,
        length: () => instants.length,
        first: () => instants.length - 1,
        leave: () => here.attr('display', 'none'),
        at: (event) => d3.bisectCenter(instants,
            x.invert(d3.pointer(event, svg.node())[0])),
        point: (i) => {
            const at = instants[i];
            const box = svg.node().getBoundingClientRect();
            const said = words(at);

            here.attr('display', null).attr('x1', x(at)).attr('x2', x(at))
                .attr('y1', MARGIN.top).attr('y2', TALL - MARGIN.bottom);
            svg.attr('aria-valuenow', i + 1)
                .attr('aria-valuetext', `${name(at)}: ${
                    said.join(', ') || 'nothing'}`);
            tell(name(at), said.length
                ? said.map((textContent) => el('div', { textContent }))
                : 'nothing', box.left + x(at), box.top + MARGIN.top);
        },
    });

    const redraw = fitted(place, draw);

    return (now) => {
        shown = now;
        instants = [...new Set(all().flatMap((one) =>
            one.rows.map((row) => row.at)))].sort((a, b) => a - b);
        redraw();
        again();
    };
}

/* What the lines and bands are, beside the chart. */
export function legend(place, entries) {
    place.replaceChildren(...entries.map(({ name, kind }) => el('li', {},
        el('span', { className: `key ${kind}`, ariaHidden: 'true' }),
        name)));
}
