/*
 * One event, open: all of it, as it was sent, and as text.
 */

import assert from 'node:assert/strict';
import { BASE, shot, until, visit } from './browser.mjs';
import { IMAGE, SCRIPT } from './data.mjs';
import { text, unhurt } from './seen.mjs';
import { at, cells, ids, path, query, settled, store } from './stored.mjs';
import { promise } from './tap.mjs';

const MARCH = { from: '2017-03-01T00:00:00Z', to: '2017-04-01T00:00:00Z' };

/* what a reader that goes by numbers or by names would change */
const EXACT =
    '{"2":1,"1":[],"n":12345678901234567890.10,"n":{},' +
    '"t":"caf\\u00e9 \\"<b>\\"","r":"a\\u202eb"}';

const PRETTY = `{
  "2": 1,
  "1": [],
  "n": 12345678901234567890.10,
  "n": {},
  "t": "café \\"<b>\\"",
  "r": "a\\u202eb"
}`;

const values = (page) => page.locator('#event .value').allTextContents();
const isOpen = (page) => page.locator('#event').isVisible();
const focused = (page) =>
    page.evaluate('document.activeElement.className');

export async function opening() {
    const answer = await fetch(`${BASE}/events/`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body:
            '{"user_id":"opal","event_type":"open",' +
            `"timestamp":"2017-03-05T06:07:08.091Z","metadata":${EXACT}}`,
    });
    const { id } = await answer.json();

    await store([
        {
            user_id: 'otto',
            event_type: 'open',
            timestamp: '2017-03-04T00:00:00Z',
        },
    ]);

    const options = { timezoneId: 'Asia/Tokyo' };

    await visit(path(MARCH), options, async (page) => {
        await until(async () => (await ids(page))[0], id);

        await promise('a click opens all of an event, exactly', async () => {
            await page.click('#rows td.properties >> nth=0');
            assert.equal(await isOpen(page), true);
            assert.equal(await text(page, '#event-title'), `Event ${id}`);
            assert.deepEqual(await values(page), [
                String(id),
                'opal',
                'open',
                '5 Mar 2017, 15:07:08.091 GMT+9',
            ]);
            assert.match(
                await text(page, '#event-members'),
                /2017-03-05T06:07:08\.091Z/,
            );
            assert.equal(
                await page.locator('#event pre').textContent(),
                PRETTY,
            );
            await shot(page, 'event');
        });

        await promise('Escape closes it, and the row is there', async () => {
            await page.keyboard.press('Escape');
            assert.equal(await isOpen(page), false);
            assert.match(await focused(page), /open/);
        });

        await promise('Enter opens it, arrows go from row to row', async () => {
            await page.keyboard.press('ArrowDown');
            await page.keyboard.press('Enter');
            assert.equal((await values(page))[1], 'otto');
            await page.click('#event-close');
            await page.keyboard.press('ArrowUp');
            await page.keyboard.press('Enter');
            assert.equal((await values(page))[1], 'opal');
        });

        await promise('from there to its user’s events', async () => {
            await page.click('#event a >> text=This user’s events');
            assert.equal(await isOpen(page), false);
            await until(() => query(page), { user_id: 'opal' });
            await until(() => ids(page), [id]);
        });

        await promise('and to those of its type', async () => {
            await page.goBack();
            await until(async () => (await ids(page)).length, 2);
            await page.click('#rows tr:nth-child(2) .id');
            await page.click('#event a >> text=This type’s events');
            await until(() => query(page), { event_type: 'open' });
            await until(async () => (await ids(page)).length, 2);
        });
    });
}

const RTL = '\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd';
const BYTES = `${'\u00e9'.repeat(127)}x`;
const HOSTILE = [SCRIPT, IMAGE, RTL, BYTES, '__proto__', '{{7*7}}'];

export async function hostile() {
    await store(
        HOSTILE.map((name, i) => ({
            user_id: name,
            event_type: name,
            timestamp: at(Date.parse('2018-02-01T00:00:00Z') + i * 1000),
            metadata: { [name]: [name], ['__proto__']: name, a: '</pre>' },
        })),
    );

    const year = { from: '2018-01-01T00:00:00Z', to: '2018-03-01T00:00:00Z' };

    await visit(path(year), {}, async (page) => {
        await promise('hostile names are text in the table', async () => {
            await until(
                async () => (await cells(page)).map((row) => row.slice(1, 3)),
                HOSTILE.map((name) => [name, name]).reverse(),
            );
            await unhurt(page);
            await shot(page, 'events-hostile');
        });

        for (const [i, name] of HOSTILE.slice(0, 4).entries()) {
            await promise(
                `in an open event and in an address: ${name.slice(0, 8)}`,
                async () => {
                    await page.locator('#rows .open').nth(5 - i).click();
                    assert.deepEqual((await values(page)).slice(1, 3), [
                        name,
                        name,
                    ]);

                    const shown = await page
                        .locator('#event pre')
                        .textContent();

                    assert.deepEqual(Object.entries(JSON.parse(shown)), [
                        [name, [name]],
                        ['__proto__', name],
                        ['a', '</pre>'],
                    ]);
                    assert.doesNotMatch(shown, /[\u202a-\u202e]/);
                    await unhurt(page);
                    await page.click('#event a >> text=This user’s events');
                    await until(() => query(page), { user_id: name });
                    await settled(page);

                    const users = (await cells(page)).map((row) => row[2]);

                    assert.deepEqual([...new Set(users)], [name]);
                    assert.equal(await page.inputValue('#user'), name);
                    await page.goBack();
                    await until(async () => (await ids(page)).length, 6);
                },
            );
        }
    });
}
