#!/usr/bin/env node
// The command queuegate.
'use strict';
require('./start.cjs')('central/cli');
