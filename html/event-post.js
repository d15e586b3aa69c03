/*
 * The form that posts one event.
 */

import { $, el } from './dom.js';
import { call } from './api.js';
import { eventOf, eventTable } from './event.js';
import { TimeField, firstWrong, sentence, setProblem, setProblems }
    from './fields.js';

const EMPTY = 'Must not be empty.';
const AGAIN = 'Post it again in a while: it will count once, even if it did '
    + 'arrive.';

/* What is wrong with properties, or ''. */
export function wrongProperties(text) {
    if (text.trim() === '') {
        return '';
    }

    try {
        const value = JSON.parse(text);
        return value !== null && typeof value === 'object'
            && !Array.isArray(value) ? ''
            : 'Must be a JSON object, like {"path":"/pricing"}.';
    } catch (error) {
        return `This is not JSON. ${sentence(error.message)}`;
    }
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)),
    (n) => n.toString(16).padStart(8, '0')).join('');

/* posted() is called when an event was stored. */
export function eventForm(posted) {
    const inputs = {
        user_id: $('post-user'), event_type: $('post-type'),
        timestamp: $('post-time'), metadata: $('post-properties'),
    };
    const time = new TimeField(inputs.timestamp);
    const place = $('post-result');
    let sent = { body: null, key: null };

    const open = (on) => {
        $('post').hidden = !on;
        $('post-open').setAttribute('aria-expanded', String(on));
        (on ? inputs.user_id : $('post-open')).focus();
    };

    const check = () => {
        for (const input of [inputs.user_id, inputs.event_type]) {
            setProblem(input, input.value === '' ? EMPTY : '');
        }

        setProblem(inputs.metadata, wrongProperties(inputs.metadata.value));
        time.check();
        firstWrong($('post-form'))?.focus();
        return firstWrong($('post-form')) === null;
    };

    /* Properties go as they were written: no number loses its digits. */
    const body = () => {
        const members = [
            `"user_id":${JSON.stringify(inputs.user_id.value)}`,
            `"event_type":${JSON.stringify(inputs.event_type.value)}`,
        ];

        if (time.get()) {
            members.push(`"timestamp":${JSON.stringify(time.get())}`);
        }
        if (inputs.metadata.value.trim()) {
            members.push(`"metadata":${inputs.metadata.value}`);
        }

        return `{${members.join(',')}}`;
    };

    const busy = (on) => {
        $('post-go').disabled = on;
        $('post-go').textContent = on ? 'Posting…' : 'Post';
        place.setAttribute('aria-busy', String(on));
    };

    const send = async () => {
        if (!check()) {
            place.replaceChildren();
            return;
        }

        const text = body();

        /* sent again after no answer, it still counts once */
        if (sent.body !== text) {
            sent = { body: text, key: newKey() };
        }

        busy(true);

        try {
            const answer = await call('/events/', {
                method: 'POST', body: text,
                headers: { 'Content-Type': 'application/json',
                           'Idempotency-Key': sent.key },
            });
            sent = { body: null, key: null };
            accept(eventOf(answer.text));

        } catch (error) {
            refuse(error);
        }

        busy(false);
    };

    const accept = (event) => {
        place.replaceChildren(
            el('p', { textContent: `Event ${event.id} was stored.` }),
            eventTable('The event that was stored', [event]));
        posted();
    };

    const refuse = (error) => {
        const errors = error.problem?.errors ?? [];
        const others = setProblems(errors, inputs);
        const marked = errors.length > 0 && others.length === 0;
        const box = el('div', { className: 'refused' },
            el('h3', { textContent: error.status === 0
                ? 'No answer came' : 'The event was not stored' }),
            el('p', { textContent: marked ? 'Correct what is marked above.'
                : sentence(error.message) }),
            error.unreachable ? el('p', { textContent: AGAIN }) : null,
            ...others.map(({ field, detail }) => el('p', {
                textContent: field ? `${field}: ${detail}` : detail })));

        place.replaceChildren(box);
        firstWrong($('post-form'))?.focus();
    };

    $('post-open').addEventListener('click', () => open($('post').hidden));
    $('post-close').addEventListener('click', () => open(false));
    $('post-form').addEventListener('submit', (event) => {
        event.preventDefault();
        send();
    });

    return () => open(true);
}
