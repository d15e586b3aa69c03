/*
 * Fields of a form: what is wrong is said beside the field that it is about.
 */

import { $, setText } from './dom.js';

/* text: what is wrong, or '' */
export function setProblem(input, text) {
    const place = $(`${input.id}-problem`);

    setText(place, text);
    place.hidden = text === '';

    if (text) {
        input.setAttribute('aria-invalid', 'true');
    } else {
        input.removeAttribute('aria-invalid');
    }
}

/*
 * errors: those of a problem document; inputs: { member: input }.  Returns
 * the errors that are about none of them.
 */
export function setProblems(errors, inputs) {
    const others = [];

    for (const { field, detail } of errors) {
        if (Object.hasOwn(inputs, field ?? '')) {
            setProblem(inputs[field], sentence(detail));
        } else {
            others.push({ field, detail });
        }
    }

    return others;
}

/* "must not be empty" → "Must not be empty." */
export const sentence = (text) => text.charAt(0).toUpperCase()
    + text.slice(1) + (/[.?!]$/.test(text) ? '' : '.');

export const firstWrong = (form) => form.querySelector('[aria-invalid]');

const pad = (n, width = 2) => String(n).padStart(width, '0');

/*
 * A time that is chosen in the reader's time zone, and asked for in UTC.  As
 * long as nobody changes it, it is what it was set to, to the last digit.
 */
export class TimeField {
    constructor(input) {
        this.input = input;
        this.set('');
    }

    set(text) {
        const at = new Date(text);

        this.given = text;
        this.input.value = Number.isNaN(at.getTime()) ? ''
            : `${pad(at.getFullYear(), 4)}-${pad(at.getMonth() + 1)}-${
                pad(at.getDate())}T${pad(at.getHours())}:${
                pad(at.getMinutes())}:${pad(at.getSeconds())}`;
        this.shown = this.input.value;
    }

    get() {
        if (this.input.value === this.shown) {
            return this.given;
        }

        return this.input.value
            && new Date(this.input.value).toISOString().replace('.000Z', 'Z');
    }

    /* A part of it is there: that must not pass for no time at all. */
    check() {
        const half = this.input.validity.badInput;

        setProblem(this.input,
            half ? 'Complete the date and the time, or clear them.' : '');
        return !half;
    }
}
