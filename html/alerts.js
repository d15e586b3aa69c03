/*
 * Alerts that are firing, or about to: at the head of the page.
 */

import { $, el } from './dom.js';
import { number, time } from './format.js';
import { call } from './api.js';

const SHOWN = ['firing', 'pending'];

const SAYS = {
    above: (alert) => `is above ${number(alert.threshold)}`,
    below: (alert) => `is below ${number(alert.threshold)}`,
    anomaly: () => 'is not what was foretold',
};

export async function loadAlerts(signal) {
    const { data } = await call('/alerts', { signal });
    const rows = data.alerts
        .filter((alert) => SHOWN.includes(alert.state))
        .sort((a, b) => SHOWN.indexOf(a.state) - SHOWN.indexOf(b.state));
    const key = JSON.stringify(rows.map((alert) =>
        [alert.alert, alert.state, alert.value, alert.since]));

    $('alerts').hidden = rows.length === 0;

    if ($('alerts-list').dataset.key !== key) {
        $('alerts-list').dataset.key = key;
        $('alerts-list').replaceChildren(...rows.map(item));
    }
}

function item(alert) {
    const of = alert.group ? `${alert.metric} of ${alert.group}`
                           : alert.metric;
    const value = alert.value === null ? '' : `, with ${number(alert.value)},`;

    return el('li', { className: alert.state },
        el('b', { textContent: alert.alert }), ` ${alert.state}: ${of}${
            value} ${SAYS[alert.condition]?.(alert) ?? ''}`,
        el('span', { className: 'muted',
                     textContent: ` since ${time(alert.since)}` }));
}
