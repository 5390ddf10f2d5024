@echo off
rem Runs queue-agent from the folder it was unpacked into. Not tested.
set NODE_OPTIONS=
set NODE_PATH=
set NODE_EXTRA_CA_CERTS=
set NODE_TLS_REJECT_UNAUTHORIZED=
cd /d "%~dp0"
runtime\node.exe --max-semi-space-size=1 --v8-pool-size=1 --no-opt program\agent\cli.js %*
