/*
 * What is seen on the page.
 */

import assert from 'node:assert/strict';
import { until } from './browser.mjs';

export const text = (page, selector) => page.locator(selector).innerText();

export const figures = (page) => page.locator('#figures dd').allInnerTexts();

/* [[name, count]] of a bar chart, as drawn */
export const bars = (page, selector) =>
    page.$$eval(`${selector} g.row`, (rows) =>
        rows.map((row) => [
            row.querySelector('.name').textContent,
            Number(row.querySelector('.count').textContent.replaceAll(',', '')),
        ]),
    );

/* Widths of the bars, as fractions of the widest one, in hundredths. */
export const widths = (page, selector) =>
    page.$$eval(`${selector} .bar`, (rects) => {
        const all = rects.map((rect) => rect.getBoundingClientRect().width);
        return all.map((width) => Math.round((100 * width) / Math.max(...all)));
    });

/* [cells] of each row of a table that is open */
export const rows = (page, selector) =>
    page.$$eval(`${selector} tbody tr`, (all) =>
        all.map((row) => [...row.cells].map((cell) => cell.textContent)),
    );

/* the same, when there are n of them */
export async function untilRows(page, selector, n) {
    await until(async () => (await rows(page, selector)).length, n);

    return rows(page, selector);
}

export async function unhurt(page) {
    assert.equal(await page.evaluate(() => window.hurt), undefined);
    assert.equal(await page.locator('main img, main script').count(), 0);
}

export async function narrow(page) {
    assert.equal(
        await page.evaluate(
            () => document.scrollingElement.scrollWidth <= window.innerWidth,
        ),
        true,
        'the page scrolls sideways',
    );
}
