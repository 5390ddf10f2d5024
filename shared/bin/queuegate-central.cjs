#!/usr/bin/env node
// The command queuegate-central.
'use strict';
require('./start.cjs')('central/main');
