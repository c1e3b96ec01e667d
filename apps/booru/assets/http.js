// Requests to the board. What it refuses becomes an error whose message is for people.

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? '';

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function checked(response) {
  if (response.ok) return response;
  if (response.status === 401) {
    const here = location.pathname + location.search;
    location.assign(`/login?next=${encodeURIComponent(here)}`);
  }
  let message = `The board answered ${response.status} ${response.statusText}.`;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // No JSON: the status has to do.
  }
  throw new Refused(message, response.status);
}

// Also where an answer is no JSON a refusal is, so that its reason can be told.
async function request(path, options) {
  const headers = { Accept: 'application/json', ...options?.headers };
  try {
    return await checked(await fetch(path, { credentials: 'same-origin', ...options, headers }));
  } catch (error) {
    if (error instanceof Refused || error.name === 'AbortError') throw error;
    throw new Refused('The board does not answer. Is it running?', 0);
  }
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

export async function getText(path, options) {
  return (await request(path, options)).text();
}

export async function post(path, body = {}) {
  const headers = { 'Content-Type': 'application/json', 'X-CSRF-Token': token };
  return (await request(path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}

// What a form of the page would send, without leaving it.
export async function send(path, fields) {
  const headers = { 'X-CSRF-Token': token };
  await request(path, { method: 'POST', headers, body: new URLSearchParams(fields) });
}

// For a request that `fetch` is not fit for: uploads with progress.
export function csrfToken() {
  return token;
}
