/*
 * The theme: the system's, or the one that was chosen here.  Loaded before
 * the page is painted, so that it never flashes in the other theme.
 */

(function () {
    'use strict';

    const KEY = 'analytics.theme';
    const NEXT = { auto: 'light', light: 'dark', dark: 'auto' };
    const NAME = { auto: 'Auto', light: 'Light', dark: 'Dark' };
    const root = document.documentElement;

    /* Storage may be closed to us; then a choice lasts as long as the page. */
    function load() {
        try {
            return localStorage.getItem(KEY);
        } catch {
            return null;
        }
    }

    function save(theme) {
        try {
            localStorage.setItem(KEY, theme);
        } catch { /* nothing to be done */ }
    }

    function apply(theme) {
        if (theme === 'auto') {
            root.removeAttribute('data-theme');
        } else {
            root.setAttribute('data-theme', theme);
        }
    }

    function label(button, theme) {
        button.textContent = NAME[theme];
        button.setAttribute('aria-label', 'Theme: ' + NAME[theme]
                            + '. Change to ' + NAME[NEXT[theme]]);
        button.title = 'Theme: ' + NAME[theme];
        button.dataset.theme = theme;
    }

    let theme = load();

    if (!NEXT[theme]) {
        theme = 'auto';
    }

    apply(theme);

    document.addEventListener('DOMContentLoaded', function () {
        const button = document.getElementById('theme');

        if (!button) {
            return;
        }

        label(button, theme);
        button.hidden = false;

        button.addEventListener('click', function () {
            theme = NEXT[theme];
            apply(theme);
            save(theme);
            label(button, theme);
        });
    });
}());
