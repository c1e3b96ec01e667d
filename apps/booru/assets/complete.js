// Completion of the word at the caret: the combobox of the ARIA Authoring Practices, with a listbox in groups.

import { getJson } from './http.js';

const WAIT_MS = 90;
const TYPED_MIN = 2;
const ANSWERS_MAX = 40;
const count = new Intl.NumberFormat();
let lists = 0;

// `kinds`: which types of suggestions are offered; all without.
export function complete(input, { kinds } = {}) {
  const list = document.createElement('div');
  list.id = `completion-${++lists}`;
  list.className = 'completion';
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Suggestions');
  list.hidden = true;
  input.after(list);
  for (const [name, value] of Object.entries({
    role: 'combobox', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': list.id,
    'aria-haspopup': 'listbox', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
  })) input.setAttribute(name, value);

  const answers = new Map();
  let options = [];
  let active = -1;
  let timer = 0;
  let running = null;

  const word = () => {
    const caret = input.selectionStart ?? input.value.length;
    const start = input.value.slice(0, caret).search(/\S+$/);
    return start < 0 ? null : { start, caret, text: input.value.slice(start, caret) };
  };

  const close = () => {
    clearTimeout(timer);
    running?.abort();
    list.hidden = true;
    options = [];
    active = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };

  const point = (index) => {
    options[active]?.element.setAttribute('aria-selected', 'false');
    active = index;
    const option = options[active];
    if (!option) {
      input.removeAttribute('aria-activedescendant');
      return;
    }
    option.element.setAttribute('aria-selected', 'true');
    option.element.scrollIntoView({ block: 'nearest' });
    input.setAttribute('aria-activedescendant', option.element.id);
  };

  const take = (option) => {
    const at = word();
    if (!at) return close();
    const rest = input.value.slice(at.caret).replace(/^\S+/, '');
    // `pool:` and the like wait for what follows.
    const gap = option.tag.endsWith(':') || rest.startsWith(' ') ? '' : ' ';
    input.value = input.value.slice(0, at.start) + option.tag + gap + rest;
    const caret = at.start + option.tag.length + (option.tag.endsWith(':') ? 0 : 1);
    close();
    input.focus();
    input.setSelectionRange(caret, caret);
  };

  const show = (groups) => {
    const items = groups
      .map((group) => ({ ...group, items: group.items.filter((item) => !kinds || kinds.includes(item.type)) }))
      .filter((group) => group.items.length > 0);
    close();
    if (items.length === 0) return;
    list.replaceChildren(...items.map((group, number) => {
      const box = document.createElement('div');
      const heading = document.createElement('span');
      heading.id = `${list.id}-group-${number}`;
      heading.textContent = group.name;
      box.setAttribute('role', 'group');
      box.setAttribute('aria-labelledby', heading.id);
      box.append(heading, ...group.items.map(element));
      return box;
    }));
    list.hidden = false;
    input.setAttribute('aria-expanded', 'true');
  };

  const element = (item) => {
    const option = document.createElement('div');
    option.id = `${list.id}-option-${options.length}`;
    option.setAttribute('role', 'option');
    option.setAttribute('aria-selected', 'false');
    const name = document.createElement('b');
    name.textContent = item.display;
    if (item.category) name.className = item.category;
    const about = document.createElement('small');
    about.textContent = [item.category, item.count == null ? '' : count.format(item.count)].filter(Boolean).join(' · ');
    option.append(name, about);
    const known = { tag: item.tag, element: option };
    options.push(known);
    option.addEventListener('pointerdown', (event) => event.preventDefault());
    option.addEventListener('click', () => take(known));
    return option;
  };

  const look = async () => {
    const at = word();
    if (!at || at.text.replace(/^[-~(]+/, '').length < TYPED_MIN) return close();
    const known = answers.get(at.text);
    if (known) return show(known);
    running?.abort();
    running = new AbortController();
    try {
      const answer = await getJson(`/api/autocomplete?q=${encodeURIComponent(at.text)}`, { signal: running.signal });
      answers.set(at.text, answer.groups);
      if (answers.size > ANSWERS_MAX) answers.delete(answers.keys().next().value);
      // What is pointed at is not taken away by an answer that comes late.
      if (document.activeElement === input && word()?.text === at.text && active < 0) show(answer.groups);
    } catch (error) {
      if (error.name !== 'AbortError') close();
    }
  };

  input.addEventListener('input', () => {
    point(-1);
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  });
  input.addEventListener('blur', close);
  input.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    const last = options.length - 1;
    if (event.key === 'ArrowDown' && list.hidden && input.tagName !== 'TEXTAREA') look();
    else if (list.hidden) return;
    else if (event.key === 'ArrowDown') point(active >= last ? 0 : active + 1);
    else if (event.key === 'ArrowUp') point(active <= 0 ? last : active - 1);
    else if (event.key === 'Enter' && active >= 0) take(options[active]);
    else if (event.key === 'Tab' && !event.shiftKey) take(options[Math.max(active, 0)]);
    else if (event.key === 'Escape') close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { close };
}
