/** What the worker says about itself in `Hello.sdk`. A test keeps it equal to package.json. */
export const SDK_NAME = "tasker-worker";
export const SDK_VERSION = "0.1.0";
export const SDK_LANGUAGE = "typescript";
