// Node: does --count N cycles of work and marks each; memory goes by --shape.
//
// | shape | memory | truth |
// |---|---|---|
// | `buffer_leak` | an ArrayBuffer of 64 KiB that is kept in each cycle | growing |
// | `churn` | strings and objects that the collector frees | not growing |
//
// At its end it prints one line {"cycles":N}.
'use strict';

const net = require('net');

function argument(flag, otherwise) {
  const index = process.argv.indexOf(flag);
  return index < 0 ? otherwise : process.argv[index + 1];
}

const kept = [];
const shapes = {
  buffer_leak: () => kept.push(new Uint8Array(64 << 10).fill(1)),
  churn: () => Array.from({ length: 2000 }, (_, i) => ({ label: 'object ' + i })).length,
};

// One label out, "ok" and a newline back: only then the next.
function marker(path) {
  if (!path) return async () => {};
  const connection = net.createConnection(path);
  let answered = () => {};
  let rest = '';
  connection.on('data', (data) => {
    rest += data;
    if (rest.endsWith('\n')) {
      rest = '';
      answered();
    }
  });
  const mark = (label) => new Promise((resolve) => {
    answered = resolve;
    connection.write(label + '\n');
  });
  mark.end = () => connection.destroy();
  return mark;
}

async function main() {
  const count = Number(argument('--count', '200'));
  const work = shapes[argument('--shape', 'churn')];
  const mark = marker(process.env.PLIMSOLL_MARKS);
  for (let cycle = 0; cycle < count; cycle++) {
    work();
    await mark('cycle');
  }
  console.log(JSON.stringify({ cycles: count }));
  if (mark.end) mark.end();
}

main();
