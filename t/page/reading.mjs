/*
 * Who reads the page: in either theme, on a phone, by keyboard.
 */

import assert from 'node:assert/strict';
import { shot, until, visit } from './browser.mjs';
import { LIST, LONG, ranked } from './data.mjs';
import { bars, narrow } from './seen.mjs';
import { promise } from './tap.mjs';

/* Relative luminance of an rgb() colour, as WCAG has it. */
function luminance(colour) {
    const [r, g, b] = colour
        .match(/[\d.]+/g)
        .map(Number)
        .map((v) => {
            const s = v / 255;
            return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
        });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(one, two) {
    const [high, low] = [luminance(one), luminance(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}

export const paint = (page, selector, property) =>
    page.$eval(
        selector,
        (node, name) => getComputedStyle(node)[name],
        property,
    );

const TEXTS = [
    '#figures dt',
    '#figures dd',
    '#timeline-caption',
    '.links a',
    '#types-table summary',
    '#health',
    '.segments span',
];

export async function themes() {
    const ground = {};

    for (const colorScheme of ['light', 'dark']) {
        await promise(`the ${colorScheme} theme is legible`, () =>
            visit('/', { colorScheme }, async (page) => {
                await until(
                    async () => (await bars(page, '#types-plot')).length,
                    10,
                );

                const card = await paint(page, '.card', 'backgroundColor');

                ground[colorScheme] = card;

                for (const selector of TEXTS) {
                    const ink = await paint(page, selector, 'color');
                    assert.ok(
                        contrast(ink, card) >= 4.5,
                        `${selector}: ${ink} on ${card}`,
                    );
                }

                const bar = await paint(page, '#types-plot .bar', 'fill');
                assert.ok(contrast(bar, card) >= 3, `${bar} on ${card}`);
                await shot(page, colorScheme);
            }),
        );
    }

    await promise('the themes differ, and the one that is chosen is kept', () =>
        visit('/', { colorScheme: 'light' }, async (page) => {
            assert.notEqual(ground.light, ground.dark);
            await page.click('#theme');
            await page.click('#theme');
            assert.equal(
                await paint(page, '.card', 'backgroundColor'),
                ground.dark,
            );
            await page.reload();
            assert.equal(
                await paint(page, '.card', 'backgroundColor'),
                ground.dark,
            );
            await page.click('#theme');
            assert.equal(
                await paint(page, '.card', 'backgroundColor'),
                ground.light,
            );
        }),
    );
}

export async function phone() {
    const small = { viewport: { width: 360, height: 740 }, hasTouch: true };

    await promise('on a phone nothing scrolls sideways', () =>
        visit('/', small, async (page) => {
            await until(
                async () => (await bars(page, '#types-plot')).length,
                10,
            );
            await page.click('#users-table summary');
            await page.fill(
                '#list',
                JSON.stringify(
                    LIST.map((event) => ({ ...event, user_id: LONG })),
                ),
            );
            await page.click('#summarise-go');
            await until(() => page.locator('#list-result li').count(), 1);
            await page.check('[value=custom]', { force: true });
            await narrow(page);
            await shot(page, 'phone');
        }),
    );
}

/* What Tab must reach: a group of radio buttons is one stop. */
const STOPS = `(() => {
    const seen = new Set();
    return [...document.querySelectorAll('a[href], button, input, select, '
            + 'textarea, summary, [tabindex="0"]')]
        .filter((node) => !node.disabled && node.checkVisibility())
        .filter((node) => {
            const key = node.type === 'radio' ? node.name : node;
            return !seen.has(key) && seen.add(key);
        }).length;
})()`;

/* Where the focus is, and whether that shows. */
const FOCUS = `(() => {
    const node = document.activeElement;
    if (node === document.body) {
        return null;
    }
    window.stops ??= [];
    const key = node.type === 'radio' ? node.name : node;
    const again = window.stops.includes(key);
    window.stops.push(key);
    const shows = [node, node.nextElementSibling, node.closest('label')]
        .filter(Boolean).map((each) => getComputedStyle(each))
        .some((style) => style.outlineStyle !== 'none'
                         && parseFloat(style.outlineWidth) >= 1);
    return { again, shows, what: node.outerHTML.slice(0, 80) };
})()`;

/* From the start of the page, by Tab, to every control. */
export async function everyStop(page) {
    const stops = await page.evaluate(STOPS);
    const times = await page.locator('[type=datetime-local]').count();
    let reached = 0;

    /* a date and time has a stop for each of its parts, and for its button */
    for (let i = 0; i < stops + times * 8; i++) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(FOCUS);
        if (at === null) {
            break;
        }
        assert.ok(at.shows, `no focus to be seen at ${at.what}`);
        reached += at.again ? 0 : 1;
    }

    assert.equal(reached, stops);
}

export async function keyboard() {
    await visit('/', {}, async (page) => {
        await until(async () => (await bars(page, '#types-plot')).length, 10);

        await promise(
            'Tab reaches every control, and one sees where it is',
            async () => {
                await everyStop(page);
            },
        );

        await promise('the first stop skips to the figures', async () => {
            await page.reload();
            await page.keyboard.press('Tab');
            assert.equal(
                await page.evaluate('document.activeElement.className'),
                'skip',
            );
            await page.keyboard.press('Enter');
            assert.equal(
                await page.evaluate('document.activeElement.id'),
                'main',
            );
        });

        await promise('arrow keys read a chart', async () => {
            await until(
                async () => (await bars(page, '#types-plot')).length,
                10,
            );
            await page.locator('#timeline-plot svg').focus();
            await page.keyboard.press('End');

            const [first, second] = ranked('event_type');

            await page.locator('#types-plot svg').focus();
            await page.keyboard.press('Home');
            await until(
                () => page.locator('#tooltip b').textContent(),
                first[0],
            );
            await page.keyboard.press('ArrowDown');
            await until(
                () => page.locator('#tooltip b').textContent(),
                second[0],
            );
            await page.keyboard.press('Escape');
            await until(() => page.locator('#tooltip').isVisible(), false);
        });
    });
}
