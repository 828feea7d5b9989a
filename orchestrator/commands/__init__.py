"""The commands of `apportion`, one a file, each imported when it is called."""
