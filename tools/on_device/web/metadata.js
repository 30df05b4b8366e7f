// What kgen-export wrote into a .tflite file: a JSON text in the buffer that a Metadata table named "kgen" points to.

import {ByteBuffer} from 'flatbuffers';

// Where the tables of the format (schema.fbs) note a field: 4 + 2 * its number.
const MODEL_BUFFERS = 12, MODEL_METADATA = 16, METADATA_NAME = 4, METADATA_BUFFER = 6, BUFFER_DATA = 4;

/** The values of a file (a Uint8Array), which has been checked to be one of the format. */
export function readMetadata(content) {
  const file = new ByteBuffer(content);
  const model = file.__indirect(0);
  for (const metadata of tables(file, model, MODEL_METADATA)) {
    if (file.__string(place(file, metadata, METADATA_NAME)) === 'kgen') {
      const buffer = tables(file, model, MODEL_BUFFERS)[file.readInt32(place(file, metadata, METADATA_BUFFER))];
      const data = place(file, buffer, BUFFER_DATA);
      const start = file.__vector(data);
      return JSON.parse(new TextDecoder().decode(content.subarray(start, start + file.__vector_len(data))));
    }
  }
  throw new Error('it has no metadata: kgen-export did not write it');
}

function place(file, table, field) {
  return table + file.__offset(table, field);
}

function tables(file, table, field) {
  const vector = place(file, table, field);
  if (vector === table) return [];
  const start = file.__vector(vector);
  return Array.from({length: file.__vector_len(vector)}, (_, i) => file.__indirect(start + 4 * i));
}
