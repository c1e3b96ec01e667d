// Endless grid: all results have their place from the start, so the scroll bar spans them all and nothing ever
// moves; only pages near the view are in the document, at most PAGES_MAX. Cells have one size, so the place of
// each follows from its number.

import { getText } from './http.js';
import { tellError } from './message.js';

const PAGES_MAX = 8;
// Loaded above and below the view, in heights of it.
const AHEAD = 1.5;
// Browsers draw no element that is higher; what is behind it is reached by `?page=`.
const HEIGHT_MAX = 15_000_000;

export class Grid extends EventTarget {
  constructor(element) {
    super();
    this.element = element;
    this.perPage = Number(element.dataset.perPage);
    this.total = Number(element.dataset.total);
    this.query = element.dataset.query;
    this.pages = new Map();
    this.loading = new Map();
    this.first = Number(element.dataset.page) - 1;
    this.last = this.first;
    this.pages.set(this.first, [...element.children]);
    this.number(this.first);
    this.status = document.querySelector('.loading');
    this.measure();
    this.layOut();
    addEventListener('scroll', () => this.later(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(element);
  }

  // Tells each image its place among the results.
  number(page) {
    this.pages.get(page).forEach((tile, at) => { tile.dataset.at = page * this.perPage + at; });
  }

  measure() {
    const style = getComputedStyle(this.element);
    this.columns = style.gridTemplateColumns.split(' ').length;
    this.gap = parseFloat(style.rowGap);
    const width = this.element.clientWidth - this.gap * (this.columns - 1);
    this.row = width / this.columns + this.gap;
    const rows = Math.floor(HEIGHT_MAX / this.row);
    this.shown = Math.min(this.total, rows * this.columns);
    this.width = this.element.clientWidth;
  }

  layOut() {
    const begin = this.first * this.perPage;
    const tiles = this.element.children;
    const end = begin + tiles.length;
    for (const tile of tiles) if (tile.style.gridColumnStart) tile.style.gridColumnStart = '';
    if (tiles.length > 0) tiles[0].style.gridColumnStart = String((begin % this.columns) + 1);
    const above = Math.floor(begin / this.columns);
    const below = Math.max(0, Math.ceil(this.shown / this.columns) - Math.ceil(end / this.columns));
    this.element.style.paddingTop = `${above * this.row}px`;
    this.element.style.paddingBottom = `${below * this.row}px`;
  }

  top() {
    return this.element.getBoundingClientRect().top + scrollY;
  }

  // The first image in view, and how far it is scrolled.
  position() {
    const down = scrollY - this.top();
    const row = Math.max(0, Math.floor(down / this.row));
    return { at: row * this.columns, offset: down - row * this.row };
  }

  async go({ at, offset = 0 }) {
    const row = Math.floor(Math.min(at, Math.max(0, this.total - 1)) / this.columns);
    scrollTo({ top: this.top() + row * this.row + offset, behavior: 'instant' });
    await this.update();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.update();
    });
  }

  resize() {
    if (Math.abs(this.element.clientWidth - this.width) < 1) return;
    const kept = this.position();
    this.measure();
    this.layOut();
    this.go({ at: kept.at, offset: kept.at === 0 ? kept.offset : 0 });
  }

  // Loads what is near the view, and lets go what is far.
  async update() {
    const down = scrollY - this.top();
    const near = innerHeight * AHEAD;
    const at = (y) => Math.floor(Math.max(0, y) / this.row) * this.columns;
    const lastPage = Math.max(0, Math.ceil(this.total / this.perPage) - 1);
    const from = Math.min(lastPage, Math.floor(at(down - near) / this.perPage));
    const to = Math.min(lastPage, Math.floor((at(down + innerHeight + near) + this.columns - 1) / this.perPage));
    this.wanted = [from, to];
    for (const [page, running] of this.loading) {
      if (page < from || page > to) running.abort();
    }
    const missing = [];
    for (let page = from; page <= to; page++) if (!this.pages.has(page)) missing.push(page);
    await Promise.all(missing.map((page) => this.load(page)));
  }

  async load(page) {
    if (this.loading.has(page)) return;
    const running = new AbortController();
    this.loading.set(page, running);
    this.busy();
    try {
      const address = `/tiles?query=${encodeURIComponent(this.query)}&page=${page + 1}`;
      const html = await getText(address, { signal: running.signal });
      const holder = document.createElement('template');
      holder.innerHTML = html;
      this.put(page, [...holder.content.children]);
    } catch (error) {
      tellError(error);
    } finally {
      this.loading.delete(page);
      this.busy();
    }
  }

  busy() {
    const is = this.loading.size > 0;
    this.element.setAttribute('aria-busy', String(is));
    if (this.status) this.status.hidden = !is;
  }

  put(page, tiles) {
    // Images that came or went meanwhile shift the rest: none is shown twice.
    const shown = new Set([...this.element.children].map((tile) => tile.dataset.id));
    for (const tile of tiles) if (shown.has(tile.dataset.id)) tile.classList.add('is-gone');
    const isNext = page === this.last + 1;
    const isBefore = page === this.first - 1;
    if (!isNext && !isBefore) {
      const [from, to] = this.wanted;
      if (page < from || page > to) return;
      // A page that lies between is on its way; this one is asked for again once it is there.
      const isApart = this.last < from - 1 || this.first > to + 1;
      if (!isApart) {
        setTimeout(() => this.update());
        return;
      }
      this.pages.clear();
      this.element.replaceChildren();
      for (const tile of tiles) tile.classList.remove('is-gone');
      this.first = page;
      this.last = page;
    }
    this.pages.set(page, tiles);
    this.number(page);
    if (isBefore) {
      this.first = page;
      this.element.prepend(...tiles);
    } else {
      this.last = page;
      this.element.append(...tiles);
    }
    this.trim();
    this.layOut();
    this.dispatchEvent(new CustomEvent('tiles', { detail: tiles }));
    this.later();
  }

  trim() {
    const [from, to] = this.wanted;
    while (this.pages.size > PAGES_MAX) {
      const isFirstFarther = from - this.first > this.last - to;
      const page = isFirstFarther ? this.first++ : this.last--;
      for (const tile of this.pages.get(page)) tile.remove();
      this.pages.delete(page);
    }
  }

  tile(at) {
    const page = Math.floor(at / this.perPage);
    return this.pages.get(page)?.[at % this.perPage];
  }
}
