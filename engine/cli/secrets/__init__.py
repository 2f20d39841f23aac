"""`engine secrets`: where secrets lie, how they get out of the config, how they are read again."""
