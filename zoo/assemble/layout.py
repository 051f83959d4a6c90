"""The names of the files that a run writes about itself. Floor 7; imports nothing, so that looking at one is cheap."""

RECIPE = "recipe.yaml"  # as written
RESOLVED = "resolved.yaml"  # every value with its default
ARCHITECTURE = "architecture.yaml"  # the graph as built
LIBRARIES = "libraries"  # a folder: the block libraries that it uses
ENVIRONMENT = "env.json"
DATA = "data.json"  # the classes' names, the images' shape, the statistics that Normalize took
RANGE_TEST = "lr_find.json"
RESULT = "result.json"
