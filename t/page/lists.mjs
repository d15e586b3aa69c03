/*
 * The box for a list: its summary, or what is wrong with it.
 */

import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { get, shot, until, visit } from './browser.mjs';
import { IMAGE, LIST, SCRIPT } from './data.mjs';
import { bars, rows, text, unhurt } from './seen.mjs';
import { promise } from './tap.mjs';

export async function lists() {
    const result = '#list-result';
    const shown = [
        ['login', 4],
        ['view', 2],
        ['logout', 1],
        ['purchase', 1],
    ];

    await visit('/', {}, async (page, complaints) => {
        const before = await get('/stats/total');

        await promise('a pasted list is summarised and charted', async () => {
            await page.focus('#list');
            await page.keyboard.insertText(JSON.stringify(LIST));
            await page.click('#summarise-go');
            await until(() => bars(page, result), shown);

            const facts = await text(page, `${result} .figures`);

            for (const fact of ['8', '3', 'alice, 3', '09:01:05', '6']) {
                assert.ok(facts.includes(fact), `${fact} in ${facts}`);
            }
            assert.deepEqual(
                await page.locator(`${result} li`).allInnerTexts(),
                ['alice', 'bob', 'charlie'],
            );
            await shot(page, 'summary');
        });

        await promise(
            'a dropped and a chosen file are summarised, too',
            async () => {
                await page.click('#clear');
                await page.evaluate((body) => {
                    const data = new DataTransfer();
                    data.items.add(new File([body], 'list.json'));
                    document
                        .getElementById('drop')
                        .dispatchEvent(
                            new DragEvent('drop', {
                                dataTransfer: data,
                                bubbles: true,
                                cancelable: true,
                            }),
                        );
                }, JSON.stringify(LIST));
                await until(() => bars(page, result), shown);
                assert.match(await text(page, '#file-name'), /^list\.json/);

                await page.setInputFiles('#choose', {
                    name: 'two.json',
                    mimeType: 'application/json',
                    buffer: Buffer.from(JSON.stringify(LIST.slice(0, 2))),
                });
                await until(
                    () => bars(page, result),
                    [
                        ['login', 1],
                        ['view', 1],
                    ],
                );
            },
        );

        await promise(
            'what is wrong with a list is listed, event by event',
            async () => {
                await page.click('#clear');
                await page.fill(
                    '#list',
                    JSON.stringify([
                        LIST[0],
                        { ...LIST[1], timestamp: '2025-02-30T00:00:00Z' },
                        { ...LIST[2], user_id: 7 },
                    ]),
                );
                await page.click('#summarise-go');
                await until(
                    async () =>
                        (await rows(page, result)).map(([index, field]) => [
                            index,
                            field,
                        ]),
                    [
                        ['1', 'timestamp'],
                        ['2', 'user_id'],
                    ],
                );
                await shot(page, 'refused');

                await page.fill('#list', '[{"user_id":');
                await page.click('#summarise-go');
                await until(() => page.locator(`${result} table`).count(), 0);
                assert.match(
                    await text(page, `${result} .refused`),
                    /Bad Request/,
                );
            },
        );

        await promise('hostile names in a list are text', async () => {
            await page.fill(
                '#list',
                JSON.stringify([
                    { ...LIST[0], user_id: IMAGE, action_type: SCRIPT },
                    { ...LIST[0], user_id: SCRIPT, action_type: '__proto__' },
                ]),
            );
            await page.click('#summarise-go');
            await until(
                () => bars(page, result),
                [
                    [SCRIPT, 1],
                    ['__proto__', 1],
                ],
            );
            await unhurt(page);
        });

        await promise('a list that was summarised is not stored', async () => {
            assert.deepEqual(await get('/stats/total'), before);
        });

        /* the browser logs the two refusals */
        assert.equal(
            complaints.filter((line) => /42[0-9]|400/.test(line)).length,
            2,
        );
        complaints.splice(0, 2);
    });
}
