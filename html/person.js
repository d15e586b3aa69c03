/*
 * The panel about one user: the one that was asked for, or chosen among the
 * most active ones, or else the most active of all.
 */

import { $, el, setText } from './dom.js';
import { count, time } from './format.js';
import { call } from './api.js';
import { bars } from './charts.js';

const searchFor = (user) =>
    `/events.html?${new URLSearchParams({ user_id: user })}`;

export class Person {
    constructor() {
        this.name = null;
        this.asked = false;
        this.running = null;
        this.facts = el('p', { className: 'facts' });
        this.plot = el('div', { className: 'plot' });
        this.problem = el('p', { className: 'muted' });
        this.problem.setAttribute('role', 'status');
        $('person-result').append(this.problem, this.facts, this.plot);
        this.chart = bars(this.plot, 'Actions of the user');

        $('person-go').addEventListener('click', () =>
            this.look($('person-id').value));
        $('person-id').addEventListener('keydown', (event) => {
            if (event.key === 'Enter') {
                this.look(event.target.value);
            }
        });
    }

    /* Somebody asked for this one. */
    look(name) {
        this.asked = name !== '';
        this.name = name || null;
        $('person-id').value = name;
        return this.load();
    }

    /* Figures have changed; first is the most active user. */
    refresh(first) {
        if (!this.asked) {
            this.name = first;
        }

        return this.load();
    }

    async load() {
        this.running?.abort();
        this.running = new AbortController();

        const { signal } = this.running;

        if (this.name === null) {
            return;
        }

        try {
            const { data } = await call(`/stats/user-activity/${
                encodeURIComponent(this.name)}`, { signal });
            this.show(data);

        } catch (error) {
            if (!signal.aborted) {
                this.refuse(error);
            }
        }
    }

    show(data) {
        const between = data.first_event_at === data.last_event_at
            ? time(data.first_event_at)
            : `${time(data.first_event_at)} – ${time(data.last_event_at)}`;

        this.facts.replaceChildren(
            el('b', { textContent: data.user_id, title: data.user_id }),
            `${count(data.total_events, 'event')}, ${between}. `,
            el('a', { href: searchFor(data.user_id),
                      textContent: 'Show them' }));
        this.chart(data.events_by_type.map((row) =>
            ({ name: row.event_type, count: row.count })), data.total_events);
        setText(this.problem, '');
        this.facts.hidden = this.plot.hidden = false;
    }

    refuse(error) {
        setText(this.problem, error.status === 404
            ? 'No events of this user.' : error.message);
        this.facts.hidden = this.plot.hidden = true;
    }
}
