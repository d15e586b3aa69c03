/*
 * Who reads the page of single events: in either theme, on a narrow screen,
 * by keyboard.
 */

import assert from 'node:assert/strict';
import { shot, until, visit } from './browser.mjs';
import { contrast, everyStop, paint } from './reading.mjs';
import { narrow, text } from './seen.mjs';
import { ids } from './stored.mjs';
import { promise } from './tap.mjs';

const TEXTS = [
    '.links a',
    '.links [aria-current]',
    '#search label',
    '#search-help',
    '#status',
    '#downloads',
    '#downloads a',
    '#rows th',
    '#rows .open',
    '#rows td.type',
    '#rows td.properties',
    '#rows td.id',
    '#event-title',
    '#event dt',
    '#event .value',
    '#event a',
    '#event .muted',
];

const EDGES = ['#user', '#from', '#order', '#post-properties'];

/* The page, with the form and an event that was refused by it. */
async function everything(page) {
    await until(async () => (await ids(page)).length > 0, true);
    await page.click('#post-open');
    await page.click('#post-go');
    await page.locator('#post-user-problem').waitFor();
}

export async function eventThemes() {
    for (const colorScheme of ['light', 'dark']) {
        await promise(`the ${colorScheme} theme of events is legible`, () =>
            visit('/events.html', { colorScheme }, async (page) => {
                await until(async () => (await ids(page)).length, 50);
                await shot(page, `events-${colorScheme}`);
                await everything(page);
                await shot(page, `events-form-${colorScheme}`);

                const card = await paint(page, '.card', 'backgroundColor');
                const wrong = await paint(page, '#post-user-problem', 'color');

                assert.ok(contrast(wrong, card) >= 4.5, `${wrong} on ${card}`);

                for (const selector of EDGES) {
                    const edge = await paint(page, selector, 'borderTopColor');
                    assert.ok(
                        contrast(edge, card) >= 3,
                        `${selector}: ${edge} on ${card}`,
                    );
                }

                await page.click('#rows td.properties >> nth=0');
                assert.equal(
                    await paint(page, '#event', 'backgroundColor'),
                    card,
                );

                for (const selector of TEXTS) {
                    const ink = await paint(page, selector, 'color');
                    assert.ok(
                        contrast(ink, card) >= 4.5,
                        `${selector}: ${ink} on ${card}`,
                    );
                }

                const ground = await paint(
                    page,
                    '#event pre',
                    'backgroundColor',
                );
                const ink = await paint(page, '#event pre', 'color');

                assert.ok(contrast(ink, ground) >= 4.5, `${ink} on ${ground}`);
                await shot(page, `event-${colorScheme}`);
            }),
        );
    }
}

export async function eventPhone() {
    const small = { viewport: { width: 320, height: 640 }, hasTouch: true };

    for (const path of ['/events.html', '/events.html?to=2018-03-01T00:00:00Z']) {
        await promise(`320 pixels are enough for ${path}`, () =>
            visit(path, small, async (page) => {
                await everything(page);
                await narrow(page);
                await shot(page, `events-phone${path.length}`);
                await page.click('#rows td.id >> nth=0');
                await narrow(page);

                const box = await page.locator('#event').boundingBox();

                assert.ok(box.x >= 0 && box.x + box.width <= 320);
                assert.equal(
                    await page.$eval(
                        '#event',
                        (node) => node.scrollWidth <= node.clientWidth,
                    ),
                    true,
                );
                await shot(page, `event-phone${path.length}`);
            }),
        );
    }

    await promise('320 pixels are enough for the first page’s header', () =>
        visit('/', small, async (page) => {
            await until(() => text(page, '#live-text'), 'Live');
            assert.equal(
                await page.$eval(
                    '.top-inner',
                    (node) => node.scrollWidth <= node.clientWidth,
                ),
                true,
            );
        }),
    );
}

export async function eventKeyboard() {
    await visit('/events.html', {}, async (page) => {
        await until(async () => (await ids(page)).length, 50);
        await page.click('#post-open');
        await page.evaluate('document.activeElement.blur()');

        await promise('Tab reaches every control of the events', async () => {
            await page.reload();
            await until(async () => (await ids(page)).length, 50);
            await everyStop(page);
        });

        await promise('every control has a name', async () => {
            const nameless = await page.$$eval(
                'input, select, textarea, button',
                (all) =>
                    all
                        .filter(
                            (one) =>
                                !(one.labels?.length || one.textContent.trim()),
                        )
                        .map((one) => one.outerHTML),
            );

            assert.deepEqual(nameless, []);
        });

        await promise('a table on a narrow screen is still a table', async () => {
            await page.setViewportSize({ width: 320, height: 640 });

            const tree = await page.getByRole('table').first();

            assert.equal(await tree.getByRole('row').count(), 51);
            assert.equal(await tree.getByRole('columnheader').count(), 5);
            assert.equal(await tree.getByRole('cell').count(), 250);
        });
    });
}
