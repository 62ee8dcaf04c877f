from interaction_fixtures import ctx, engine, make_context, validator

__all__ = ["ctx", "engine", "make_context", "validator"]
