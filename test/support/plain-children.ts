/**
 * Loaded into each test file (.taprc). What a test starts is started as a user starts it: tap's runner would hand each child, and
 * theirs, a hook that watches every module that is loaded, for coverage. With it an operator takes three times the CPU to start.
 */
import processOnSpawn from 'process-on-spawn';

processOnSpawn.removeAllListeners();
delete process.env.NODE_OPTIONS;
