// A certified OpenID provider for tests; its people, groups and clients come as JSON.
import { Provider } from 'oidc-provider';

const { issuer, port, clients, people, keys } = JSON.parse(process.env.PROVIDER);
const groups = (id) => people[id] ?? [];

const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  cookies: { keys: ['test'] },
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email'] },
  conformIdTokenClaims: false,
  scopes: ['openid', 'profile', 'email', 'api', 'offline_access'],
  pkce: { methods: ['S256'], required: (_, client) => client.redirectUris.length > 0 },
  clientBasedCORS: () => false,
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // urn:jwt:AUDIENCE and urn:opaque:AUDIENCE; none is asked for in a browser.
      defaultResource: (_, client) => (client.redirectUris.length > 0 ? undefined : 'urn:jwt:sprout-api'),
      useGrantedResource: () => true,
      getResourceServerInfo: (_, indicator) => ({
        scope: 'api',
        audience: indicator.split(':')[2],
        accessTokenTTL: 600,
        accessTokenFormat: indicator.split(':')[1],
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (_, token) => ({
    groups: groups(token.accountId ?? token.clientId),
    preferred_username: token.accountId ?? token.clientId,
  }),
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, email: `${id}@example.org`, groups: groups(id) }),
  }),
});
provider.listen(port, '127.0.0.1');
