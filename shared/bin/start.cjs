// Starts a program of the package, on a Node.js that can run it. This file and those beside it are CommonJS of the oldest kind, so that
// an old Node.js reads them and says what it lacks instead of failing at the syntax of the program.
'use strict';
var fs = require('fs');
var path = require('path');
var url = require('url');

var LEAST = 26;

/** The program without its extension, such as central/cli: built into dist, or the source in a clone. */
module.exports = function start(program) {
  var major = Number(process.versions.node.split('.')[0]);
  if (major < LEAST) {
    process.stderr.write(
      'error: Queuegate needs Node.js ' +
        LEAST +
        ' or newer; this is ' +
        process.versions.node +
        ' (' +
        process.execPath +
        ').\n' +
        '  Install Node.js ' +
        LEAST +
        ' and put it first on PATH; in a clone, "npm ci" brings it and "npm run" uses it.\n',
    );
    process.exit(1);
  }
  var root = path.join(__dirname, '../..');
  var built = path.join(root, 'dist', program + '.js');
  var file = fs.existsSync(built) ? built : path.join(root, program + '.ts');
  process.argv[1] = file;
  void import(url.pathToFileURL(file).href);
};
