"""Keep the rules of the ward, one package for each of its nouns; nothing here knows HTTP."""
