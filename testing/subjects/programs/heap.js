// Node: many JavaScript objects, ArrayBuffers of known size, and a function hot enough to compile.
//
// Prints `ready {json}` and waits until its standard input closes or a line arrives.
// Arguments: --objects N, --buffers N, --mib M (each buffer).
'use strict';

function number(flag, otherwise) {
  const index = process.argv.indexOf(flag);
  return index < 0 ? otherwise : Number(process.argv[index + 1]);
}

function hot(values) {
  let sum = 0;
  for (const value of values) sum = (sum + value.weight * 3) % 65521;
  return sum;
}

const objects = [];
for (let i = 0; i < number('--objects', 200000); i++) {
  objects.push({ weight: i, label: 'object ' + i, next: objects[i - 1] });
}
const buffers = [];
for (let i = 0; i < number('--buffers', 8); i++) {
  buffers.push(new Uint8Array(number('--mib', 4) << 20).fill(1));
}
let checksum = 0;
for (let i = 0; i < 50; i++) checksum = hot(objects);

const usage = process.memoryUsage();
const spaces = require('v8').getHeapSpaceStatistics().map((space) => ({
  name: space.space_name,
  committed_bytes: space.physical_space_size,
  used_bytes: space.space_used_size,
}));
console.log('ready ' + JSON.stringify({
  objects: objects.length,
  buffer_bytes: buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0),
  heap_used_bytes: usage.heapUsed,
  heap_total_bytes: usage.heapTotal,
  external_bytes: usage.external,
  array_buffers_bytes: usage.arrayBuffers,
  spaces,
  checksum,
  runtime: process.version,
}));

function end() {
  process.exit(objects.length + buffers.length > 0 ? 0 : 1);
}
process.stdin.on('data', end).on('end', end);
