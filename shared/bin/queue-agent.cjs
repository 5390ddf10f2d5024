#!/usr/bin/env node
// The command queue-agent.
'use strict';
require('./start.cjs')('agent/cli');
