"""The blocking handles on live structures, which are Python containers too."""
