# The operator as a service. docs/operating.md says how to run it.
#   docker build -t sluice .

FROM node:20-slim AS build
WORKDIR /sluice
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:20-slim
# tini: what the operator starts outlives it as an orphan, and somebody has to collect orphans that end.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
  && rm -rf /var/lib/apt/lists/*

WORKDIR /sluice
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY LICENSE ./
COPY schemas ./schemas
COPY examples-repo ./examples-repo
COPY --from=build /sluice/build/src ./build/src
RUN ln -s /sluice/build/src/cli/main.js /usr/local/bin/sluice && chmod +x build/src/cli/main.js

# A user of its own. The two folders belong to it before they become volumes, so that the volumes do too.
RUN useradd --system --uid 10001 --create-home --shell /usr/sbin/nologin sluice \
  && install --directory --owner=sluice --group=sluice /var/lib/sluice /var/lib/sluice/state /var/lib/sluice/data
USER sluice
WORKDIR /var/lib/sluice
ENV NODE_ENV=production \
  SLUICE_STATE_DIR=/var/lib/sluice/state \
  SLUICE_DATA_DIR=/var/lib/sluice/data
VOLUME ["/var/lib/sluice/state", "/var/lib/sluice/data"]
EXPOSE 8080

ENTRYPOINT ["tini", "--", "sluice"]
CMD ["--help"]
