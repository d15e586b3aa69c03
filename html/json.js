/*
 * JSON as text, so that it is shown as it was sent: numbers of any length,
 * and members in their order, even where one is there twice.  The texts have
 * been parsed before, so nothing is wrong with them.
 */

const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/;
const TOKEN = new RegExp(`${STRING.source}|[{}[\\],:]|[^\\s{}[\\],:"]+`, 'g');

/* Seen as nothing, or turning the text around them: shown by their number. */
const UNSEEN = new RegExp('[\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f'
    + '\\u2028-\\u202e\\u2060-\\u2069\\ufeff]', 'g');

const opens = (token) => token === '{' || token === '[';
const closes = (token) => token === '}' || token === ']';

/* "caf\u00e9" → "café" */
const readable = (token) => (token.startsWith('"')
    ? JSON.stringify(JSON.parse(token)).replace(UNSEEN, (char) =>
        `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : token);

/* The text of each element of an array, or of each member of an object. */
export function pieces(text) {
    const found = [];
    let depth = 0;
    let start = 0;

    for (const { 0: token, index } of text.matchAll(TOKEN)) {
        if (opens(token) && depth++ === 0) {
            start = index + 1;

        } else if ((closes(token) && --depth === 0)
                   || (token === ',' && depth === 1))
        {
            found.push(text.slice(start, index).trim());
            start = index + 1;
        }
    }

    return found.filter((piece) => piece !== '');
}

/* An object's members: [[name, text of the value]] */
export const members = (text) => pieces(text).map((piece) => {
    const [name] = piece.match(STRING);

    return [JSON.parse(name),
            piece.slice(piece.indexOf(':', name.length) + 1).trim()];
});

export function pretty(text) {
    let out = '';
    let depth = 0;
    let opened = false;
    let after = '';
    const line = () => `\n${'  '.repeat(depth)}`;

    for (const [token] of text.matchAll(TOKEN)) {
        const close = closes(token);

        depth -= close ? 1 : 0;
        out += opened !== close || after === ',' ? line() : '';
        out += token === ':' ? ': ' : readable(token);

        opened = opens(token);
        depth += opened ? 1 : 0;
        after = token;
    }

    return out;
}

/* On one line, without the outermost braces, and about that long at most. */
export function excerpt(text, length) {
    let out = '';

    for (const [token] of text.slice(1, -1).matchAll(TOKEN)) {
        out += token === ':' || token === ',' ? `${token} ` : readable(token);

        if (out.length > length) {
            return `${out.slice(0, length)}…`;
        }
    }

    return out;
}
