/*
 * Small helpers around the document.  Names of users and types are hostile
 * text: everything that is put into the page goes in as text.
 */

export const $ = (id) => document.getElementById(id);

export function el(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties);

    node.append(...children.filter((child) => child !== null));
    return node;
}

/* Touches the document only for a change, so that a selection survives. */
export function setText(node, text) {
    if (node.textContent !== text) {
        node.textContent = text;
    }
}

/* columns: [{ title, value(row), numeric }]; the first one names the row */
export function table(caption, columns, rows) {
    const cell = (tag, column, content) => el(tag, {
        className: column.numeric ? 'num' : '',
        textContent: content,
    });

    const head = columns.map((column) => {
        const th = cell('th', column, column.title);
        th.scope = 'col';
        return th;
    });

    const body = rows.map((row) => el('tr', {}, ...columns.map((column, i) => {
        const node = cell(i ? 'td' : 'th', column, column.value(row));
        if (!i) {
            node.scope = 'row';
        }
        return node;
    })));

    return el('table', {},
        el('caption', { textContent: caption }),
        el('thead', {}, el('tr', {}, ...head)),
        el('tbody', {}, ...body));
}

/* Keeps the table in a <details> as its chart is, but only while it shows. */
export function tableOf(details, make) {
    const box = details.querySelector('.scroll');

    const draw = () => {
        if (details.open) {
            const top = box.scrollTop;
            box.replaceChildren(make());
            box.scrollTop = top;
        }
    };

    details.addEventListener('toggle', draw);
    return draw;
}

/* note: why a figure is not exact, or null when it is */
export function mark(node, note) {
    const old = node.querySelector('.approximate');

    if (note === null) {
        old?.remove();
        return;
    }

    const sign = old ?? el('span', { className: 'approximate' });

    setText(sign, '≈ approximate');
    sign.title = note;

    if (!old) {
        node.append(sign);
    }
}
