/*
 * A browser that tells on its pages: what goes wrong in them, and what they
 * ask of anyone but the server under test.
 */

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const BASE = (process.env.BASE_URL ?? '').replace(/\/$/, '');

const PATIENCE = 1000 * (process.env.ANALYTICS_TIMEOUT ?? 120);
const SHOTS = process.env.SCREENSHOTS;
const VIEWPORT = { width: 1280, height: 900 };

let browser;

export async function open() {
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
        args: [
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
        ],
    });
}

export const close = () => browser?.close();

/* the pages that are to be had again, by their options */
const idle = new Map();

async function take(key, options) {
    const page = idle.get(key);

    if (page) {
        idle.delete(key);
        return page;
    }

    const context = await browser.newContext({ viewport: VIEWPORT, ...options });

    context.setDefaultTimeout(PATIENCE);

    return context.newPage();
}

/* A page is left as if it were new. */
async function giveBack(key, page, options) {
    await page.unrouteAll();
    await page.evaluate(() => {
        localStorage.clear();
        sessionStorage.clear();
    });
    await page.context().clearCookies();
    await page.goto('about:blank');
    await page.setViewportSize(options.viewport ?? VIEWPORT);
    page.removeAllListeners();

    idle.set(key, page);
}

/*
 * Calls test(page, complaints) with a page that must not have complained by
 * the end.  A test that provokes complaints empties the list.  Pages are used
 * again, as a new one costs seconds; not those that options.before has changed
 * before they were loaded, nor those of tests that failed.
 */
export async function visit(path, { before, ...options }, test) {
    const key = JSON.stringify(options);
    const page = await take(before ? null : key, options);
    const complaints = [];
    let well = false;

    watch(page, complaints);

    try {
        await before?.(page);
        await page.goto(BASE + path);
        await test(page, complaints);
        assert.deepEqual(complaints, [], 'the page complained');
        well = !before;
    } finally {
        await (well ? giveBack(key, page, options) : Promise.reject())
            .catch(() => page.context().close());
    }
}

function watch(page, complaints) {
    page.on('console', (message) => {
        /* that there is too little history for a forecast is an answer */
        if (message.text().includes('status of 409')) {
            return;
        }
        if (message.type() === 'error' || message.type() === 'warning') {
            complaints.push(`${message.type()}: ${message.text()}`);
        }
    });
    page.on('pageerror', (error) => complaints.push(`threw ${error.stack}`));
    page.on('dialog', (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    page.on('request', (request) => {
        const url = request.url();
        if (!url.startsWith(`${BASE}/`) && !/^(data|blob):/.test(url)) {
            complaints.push(`asked for ${url}`);
        }
    });
}

/* Waits until look() returns what is expected, and says what it saw last. */
export async function until(look, expected) {
    const end = Date.now() + PATIENCE;
    let seen;

    for (;;) {
        try {
            seen = await look();
            assert.deepEqual(seen, expected);
            return;
        } catch (error) {
            if (Date.now() > end) {
                throw error;
            }
        }
        await new Promise((resume) => {
            setTimeout(resume, 50);
        });
    }
}

export async function shot(page, name) {
    if (SHOTS) {
        await mkdir(SHOTS, { recursive: true });
        await page.screenshot({
            path: join(SHOTS, `${name}.png`),
            fullPage: true,
        });
    }
}

/* the server, asked without a browser */

export async function get(path) {
    const response = await fetch(BASE + path);
    assert.equal(response.status, 200, path);
    return response.json();
}

export async function post(events) {
    const response = await fetch(`${BASE}/events/`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(events),
    });

    assert.equal(response.status, 201, await response.text());
}
